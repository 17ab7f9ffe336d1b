/* The C code of syscalls.pxd: system calls on sockets. */
#ifndef ASGIWS_NET_SYSCALLS_H
#define ASGIWS_NET_SYSCALLS_H

#include <Python.h>
#include <errno.h>
#ifdef __linux__
#include <sys/epoll.h>
#define ASGIWS_MOST 128
static inline PyObject *asgiws_ready(int fd, int most) {
    struct epoll_event events[ASGIWS_MOST];
    int count = epoll_wait(fd, events, most < ASGIWS_MOST ? most : ASGIWS_MOST, 0);
    if (count < 0) {
        if (errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError);
        count = 0;
    }
    PyObject *list = PyList_New(count);
    for (int i = 0; list != NULL && i < count; i++) {
        PyObject *pair = Py_BuildValue("(iI)", events[i].data.fd, events[i].events);
        if (pair == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, pair);
    }
    return list;
}
#else
static inline PyObject *asgiws_ready(int fd, int most) { return PyList_New(0); }  /* never called */
#endif
#ifdef _WIN32
/* Never called: without writev and epoll, a connection does no I/O of its own. */
static inline Py_ssize_t asgiws_send(int fd, const char *data, Py_ssize_t size) { return 0; }
static inline Py_ssize_t asgiws_receive(int fd, char *data, Py_ssize_t size) { return -2; }
static inline int asgiws_shut_down(int fd) { return -1; }
static inline int asgiws_reset_on_close(int fd) { return -1; }
static inline PyObject *asgiws_accept(int fd) { Py_RETURN_NONE; }
static inline PyObject *asgiws_own_address(int fd) { Py_RETURN_NONE; }
#else
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0  /* macOS; Python ignores SIGPIPE itself */
#endif
/* The GIL is held: the socket does not block, and releasing the GIL costs more than a small message. */
static inline Py_ssize_t asgiws_send(int fd, const char *data, Py_ssize_t size) {
    Py_ssize_t sent = send(fd, data, (size_t) size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : sent;
}
static inline Py_ssize_t asgiws_receive(int fd, char *data, Py_ssize_t size) {
    Py_ssize_t count = recv(fd, data, (size_t) size, MSG_DONTWAIT);
    if (count >= 0)
        return count;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? -1 : -2;
}
static inline int asgiws_shut_down(int fd) { return shutdown(fd, SHUT_WR); }
/* (host, port) in the form of Python's socket module; None for an address that has neither. */
static inline PyObject *asgiws_address(const struct sockaddr_storage *name) {
    char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    int port;
    if (name->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *) name;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        port = ntohs(four->sin_port);
    } else if (name->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *) name;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        if (six->sin6_scope_id) {
            size_t end = strlen(host);
            host[end] = '%';
            if (if_indextoname(six->sin6_scope_id, host + end + 1) == NULL)
                host[end] = 0;
        }
        port = ntohs(six->sin6_port);
    } else {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(si)", host, port);
}
static inline PyObject *asgiws_accept(int fd) {
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    PyObject *address, *pair;
    int accepted;
    memset(&name, 0, sizeof name);
#ifdef __linux__
    accepted = accept4(fd, (struct sockaddr *) &name, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    accepted = accept(fd, (struct sockaddr *) &name, &size);
    if (accepted >= 0) {
        fcntl(accepted, F_SETFL, fcntl(accepted, F_GETFL) | O_NONBLOCK);
        fcntl(accepted, F_SETFD, FD_CLOEXEC);
    }
#endif
    if (accepted < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED)
            Py_RETURN_NONE;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    address = asgiws_address(&name);
    pair = address == NULL ? NULL : Py_BuildValue("(iN)", accepted, address);
    if (pair == NULL)
        close(accepted);
    return pair;
}
static inline PyObject *asgiws_own_address(int fd) {
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    memset(&name, 0, sizeof name);
    if (getsockname(fd, (struct sockaddr *) &name, &size) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    return asgiws_address(&name);
}
static inline int asgiws_reset_on_close(int fd) {
    struct linger reset = {1, 0};
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}
#endif

#endif
