cimport cython
from asgiws.websocket cimport octets

@cython.locals(data=bytearray, size=Py_ssize_t)
cpdef bytes apply_mask(bytes payload, bytes key)
