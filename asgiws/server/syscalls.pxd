# The compiled twin of syscalls.py, inlined into the modules that cimport it. Same function, same meaning.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cdef extern from *:
    """
    #ifdef _WIN32
    /* Never called: without writev in os, a stream does not write by itself. */
    static inline Py_ssize_t asgiws_send(int fd, const char *data, Py_ssize_t size) { return 0; }
    #else
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0  /* macOS; Python ignores SIGPIPE itself */
    #endif
    /* The GIL is kept: the socket does not block, and giving it back costs more than a small write. */
    static inline Py_ssize_t asgiws_send(int fd, const char *data, Py_ssize_t size) {
        Py_ssize_t sent = send(fd, data, (size_t) size, MSG_NOSIGNAL | MSG_DONTWAIT);
        return sent < 0 ? 0 : sent;
    }
    #endif
    """
    Py_ssize_t asgiws_send(int fd, const char* data, Py_ssize_t size) noexcept nogil


cdef inline Py_ssize_t send(int fd, bytes data) noexcept:
    return asgiws_send(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
