cimport cython
from asgiws.common cimport octets
from asgiws.websocket cimport wire

@cython.locals(data=bytearray, size=Py_ssize_t)
cpdef bytes apply_mask(bytes payload, bytes key)
