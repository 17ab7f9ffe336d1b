# Types of handshake.py.
cimport cython


cdef class Handshake:
    cdef readonly bytes accept
    cdef readonly list offers
    cdef readonly list subprotocols


@cython.locals(upgrade=bint, connection=bint, keys=list, versions=list, protocols=list, offers=list, name=bytes)
cpdef Handshake check(object head)
cdef list _tokens(bytes value)
cdef bytes _accept(list keys)
cdef list _subprotocols(list values)
cdef list _offers(list values)
cpdef object response(Handshake handshake, object subprotocol, object compression)
