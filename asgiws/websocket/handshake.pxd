# Types of handshake.py.
cimport cython

@cython.locals(upgrade=bint, connection=bint, keys=list, versions=list, protocols=list, offers=list, name=bytes)
cpdef object check(object head)
cdef list _tokens(bytes value)
cdef bytes _accept(list keys)
cdef list _subprotocols(list values)
cdef list _offers(list values)
cpdef object response(object handshake, object subprotocol, object compression)
