# The compiled twin of wire.py, inlined into the modules that cimport it. Same functions, same meaning.
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.bytearray cimport PyByteArray_AS_STRING

cdef extern from "asgiws/websocket/wire.h":
    Py_ssize_t asgiws_header(unsigned char* p, int first, uint64_t size) noexcept nogil
    void asgiws_xor(unsigned char* p, Py_ssize_t n, uint32_t key, int phase) noexcept nogil


cdef inline int xor(bytearray data, Py_ssize_t start, Py_ssize_t end, uint32_t key, int phase) except -1:
    asgiws_xor(<unsigned char*> PyByteArray_AS_STRING(data) + start, end - start, key, phase)
    return 0


cdef inline uint32_t key_at(bytearray data, Py_ssize_t at) noexcept:
    cdef const unsigned char* p = <unsigned char*> PyByteArray_AS_STRING(data) + at
    return <uint32_t> p[0] | <uint32_t> p[1] << 8 | <uint32_t> p[2] << 16 | <uint32_t> p[3] << 24


cdef inline bytes header(int first, Py_ssize_t size):
    cdef unsigned char out[10]
    return PyBytes_FromStringAndSize(<char*> out, asgiws_header(out, first, <uint64_t> size))


cdef inline bytes frame(int first, bytes payload):
    cdef unsigned char header[10]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef Py_ssize_t start = asgiws_header(header, first, <uint64_t> size)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, start + size)
    cdef char* p = PyBytes_AS_STRING(out)
    memcpy(p, header, start)
    memcpy(p + start, PyBytes_AS_STRING(payload), size)
    return out
