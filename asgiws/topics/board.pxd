# Types of board.py.
cimport cython
from asgiws.topics.message cimport Message
from asgiws.topics.sink cimport Sink

cdef int _SLICE
cdef int _MESSAGE
cdef int _RECEIVER
cdef int _RUN


@cython.final
cdef class Topic:
    cdef public bint is_shared
    cdef public list sinks


@cython.final
cdef class Run:
    cdef public Py_ssize_t at
    cdef public object call
    cdef public list messages
    cdef public list sinks
    cdef public Py_ssize_t size


cdef class Board:
    cdef object _call_soon
    cdef bint _is_due
    cdef object _queue
    cdef dict _topics
    cdef readonly Py_ssize_t queued

    @cython.locals(topic=Topic)
    cpdef bint add(self, Sink sink) except -1
    @cython.locals(topic=Topic, last=Sink)
    cpdef bint remove(self, Sink sink) except -1
    @cython.locals(known=Topic)
    cpdef object sinks(self, str topic)
    @cython.locals(topic=Topic, run=Run)
    cpdef object publish(self, Message message)
    @cython.locals(run=Run)
    cpdef object replay(self, object messages, Sink sink)
    @cython.locals(size=Py_ssize_t)
    cdef object _append(self, Run run, Message message)
    cdef object _put(self, Run run)
    @cython.locals(messages=list, sinks=list, each=int, at=Py_ssize_t, sink=Sink, message=Message)
    cdef int _deliver(self, Run run, int left, list touched) except? -1


@cython.locals(sink=Sink)
cdef object _flush(list touched)
cdef object _call(object call)
