# Types of carrier.py: the calls between an exchange and its carrier become calls through a C table.
from asgiws.bridge.exchange cimport Exchange


cdef class Carrier:
    cpdef object scope(self)
    cpdef object client(self)
    cpdef object ask_for_body(self)
    cpdef object body_taken(self, bint more)
    cpdef object start(self, object status, object headers, bint trailers)
    cpdef object send(self, bytes data, bint more)
    cpdef object send_trailers(self, object trailers)
    cpdef object inform(self, object status, object headers)
    cpdef object start_file(self, object size, bint more)
    cpdef object end_file(self, object size, bint more)
    cpdef bint sends_files(self) except -1
    cpdef bint has_started(self) except -1
    cpdef bint sends_body(self) except -1
    cpdef bint expects_trailers(self) except -1
    cpdef bint is_full(self) except -1
    cpdef bint is_closing(self) except -1
    cpdef object done(self)
    cpdef object done_early(self)
    cpdef object left(self, Exchange exchange)
    cpdef object respond(self, object status, object headers, bytes body, bint is_logged=*)
    cpdef object reject(self, object error)
    cpdef object fail(self)
    cpdef object cancel(self)
