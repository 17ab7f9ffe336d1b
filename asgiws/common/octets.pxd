# The compiled twin of octets.py, inlined into the modules that cimport it. Same functions, same meaning.
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.unicode cimport PyUnicode_DecodeUTF8

cdef extern from "asgiws/common/octets.h":
    bint asgiws_is_ascii(const unsigned char* p, Py_ssize_t n) noexcept nogil


cdef inline bytes to_bytes(bytearray data, Py_ssize_t start, Py_ssize_t end):
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(data) + start, end - start)


cdef inline int append(bytearray target, bytearray data, Py_ssize_t start, Py_ssize_t end) except -1:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(target)
    PyByteArray_Resize(target, size + end - start)
    memcpy(PyByteArray_AS_STRING(target) + size, PyByteArray_AS_STRING(data) + start, end - start)
    return 0


cdef inline bytes new_target(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


cdef inline int put(bytes target, Py_ssize_t at, bytearray data, Py_ssize_t start, Py_ssize_t end) except -1:
    # Nobody else holds the object yet: filling it is part of making it.
    memcpy(PyBytes_AS_STRING(target) + at, PyByteArray_AS_STRING(data) + start, end - start)
    return 0


cdef inline bytes finish(bytes target):
    return target


cdef inline bint is_ascii(bytearray data, Py_ssize_t start, Py_ssize_t end) except -1:
    return asgiws_is_ascii(<unsigned char*> PyByteArray_AS_STRING(data) + start, end - start)


cdef inline str to_text(bytearray data, Py_ssize_t start, Py_ssize_t end):
    return PyUnicode_DecodeUTF8(PyByteArray_AS_STRING(data) + start, end - start, NULL)


cdef extern from "Python.h":
    ctypedef struct PyASCIIObject:
        pass
    ctypedef struct PyCompactUnicodeObject:
        pass
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    int PyUnicode_KIND(object text)
    bint PyUnicode_IS_ASCII(object text)


cdef inline Py_ssize_t memory(object message) except -1:
    # As __sizeof__ has it: a head, whose size for a str differs between versions of CPython, and the data.
    if type(message) is bytes:
        return 33 + PyBytes_GET_SIZE(<bytes> message)
    if PyUnicode_IS_ASCII(message):
        return sizeof(PyASCIIObject) + 1 + PyUnicode_GET_LENGTH(message)
    return sizeof(PyCompactUnicodeObject) + (PyUnicode_GET_LENGTH(message) + 1) * PyUnicode_KIND(message)
