# Types of connection.py.
cimport cython
from asgiws.http.buffer cimport ReceiveBuffer
from asgiws.http.head cimport RequestHead
from asgiws.http.head_reader cimport HeadReader
from asgiws.http.parser cimport HeadParser
from asgiws.http.response cimport ResponseWriter

cdef int BODY
cdef int CLOSE
cdef int END
cdef int ENDED
cdef int GOT_END
cdef int GOT_HEAD
cdef int HEAD
cdef int IMPOSSIBLE
cdef int NEXT
cdef int NONE
cdef int OWED
cdef int READ
cdef int READ_CLOSED
cdef int REQUESTED
cdef int RESET
cdef int ROW
cdef int SEND
cdef int SEND_BODY_END
cdef int SEND_END
cdef int SENDING
cdef int SENT
cdef int START
cdef int STARTED
cdef int SWITCH
cdef int SWITCHED
cdef int TRAILERS
cdef bytes REQUEST
cdef bytes RESPONSE

@cython.locals(following=int)
cdef int advance(bytes table, int state, int event) except -1


cdef class HTTPConnection:
    cdef object _body
    cdef ReceiveBuffer _buffer
    cdef object _defaults
    cdef Py_ssize_t _drained
    cdef bint _eof
    cdef RequestHead _head
    cdef object _limits
    cdef HeadParser _parser
    cdef HeadReader _reader
    cdef int _request
    cdef int _response
    cdef ResponseWriter _writer
    cdef public bint closing
    cdef public bint expects_continue

    cpdef object receive_data(self, bytes data)
    @cython.locals(state=int)
    cpdef object next_event(self)
    @cython.locals(head=RequestHead)
    cdef object _read_head(self)
    cdef RequestHead _parse(self, bytes head)
    cdef object _read_body(self)
    cpdef bint has_partial_head(self) except -1
    cpdef Py_ssize_t buffered(self) except -1
    cpdef bytes take_tail(self)
    cpdef bint response_started(self) except -1
    @cython.locals(head=RequestHead)
    cpdef object start_response(self, object status, object headers, bint trailers=*)
    cpdef list send_body(self, bytes data, bint more)
    cpdef bint expects_trailers(self) except -1
    cpdef bint sends_body(self) except -1
    cpdef object end_bodiless(self)
    cdef object _check_sending(self)
    cdef object _body_sent(self, bint more)
    cdef object _finish_side(self)
    cdef object _finish_exchange(self)
    cdef object _close_request(self)
    cdef object _close_both(self)
