# Types of frames.py. unsigned char for octets, Py_ssize_t for positions, int64 for a checked length.
cimport cython
from libc.stdint cimport int64_t, uint32_t
from asgiws.websocket cimport wire

cdef int CONTINUATION
cdef int BINARY
cdef int CLOSE
cdef int PONG
cdef int FIN
cdef int RSV1
cdef int RSV2_RSV3
cdef int MASKED
cdef int MAX_CONTROL_PAYLOAD


cdef class FrameReader:
    cdef public bint allow_rsv1
    cdef readonly bint fin
    cdef readonly bint rsv1
    cdef readonly int opcode
    cdef readonly int64_t length
    cdef readonly uint32_t key
    cdef bytearray _spill

    @cython.locals(spill=bytearray, position=Py_ssize_t, need=Py_ssize_t, take=Py_ssize_t)
    cpdef Py_ssize_t read(self, bytearray data, Py_ssize_t start, Py_ssize_t end) except -2

    @cython.locals(opcode=int, length=int)
    cdef Py_ssize_t _start(self, unsigned char first, unsigned char second) except -2

    @cython.locals(length=int64_t, index=Py_ssize_t)
    cdef int _finish(self, bytearray data, Py_ssize_t start, Py_ssize_t need) except -1


cpdef bytes header(int first, Py_ssize_t length)
cpdef bytes frame(int first, bytes payload)
