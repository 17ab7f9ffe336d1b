# The compiled twin of syscalls.py, inlined into the modules that cimport it: the same functions, with the same
# behaviour.
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno

cdef extern from "asgiws/net/syscalls.h":
    Py_ssize_t asgiws_send(int fd, const char* data, Py_ssize_t size) noexcept nogil
    Py_ssize_t asgiws_receive(int fd, char* data, Py_ssize_t size) noexcept nogil
    object asgiws_accept(int fd)
    object asgiws_own_address(int fd)
    list asgiws_ready(int fd, int most)
    int asgiws_shut_down(int fd) noexcept nogil
    int asgiws_reset_on_close(int fd) noexcept nogil

cdef enum:
    NOTHING = -1
    BROKEN = -2


cdef inline Py_ssize_t send(int fd, bytes data) noexcept:
    return asgiws_send(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline Py_ssize_t receive(int fd, bytearray buffer) noexcept:
    return asgiws_receive(fd, PyByteArray_AS_STRING(buffer), PyByteArray_GET_SIZE(buffer))


cdef inline object accept(object listening):
    return asgiws_accept(listening.fileno())


cdef inline object own_address(int fd, int family):
    return asgiws_own_address(fd)


cdef inline list ready(object epoll, int fd, int most):
    return asgiws_ready(fd, most)


cdef inline object shut_down(int fd):
    if asgiws_shut_down(fd) < 0:
        PyErr_SetFromErrno(OSError)


cdef inline object reset_on_close(int fd):
    if asgiws_reset_on_close(fd) < 0:
        PyErr_SetFromErrno(OSError)
