# Types of outlet.py: the calls between a connection and its driver become calls through a C table.

cdef class Driver:
    cpdef object connected(self, Outlet outlet)
    cpdef object receive_data(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    cpdef object receive_eof(self)
    cpdef object connection_lost(self)
    cpdef double check(self, double now) except? -1.0
    cpdef object writable(self)
    cpdef object hung_up(self)
    cpdef object stalled(self)
    cpdef object proceed(self)
    cpdef object shutdown(self)
    cpdef object conversations(self)
    cpdef bint lasts(self) except -1


cdef class Outlet:
    cdef public object loop
    cdef public object client
    cdef public object server
    cdef public bint secure
    cdef public bint write_paused
    cdef public bint reading
    cdef public bint eof
    cdef public bint hung_up

    cpdef object tls(self)
    cpdef object write(self, bytes data)
    cpdef object writelines(self, list chunks)
    cpdef bint sends_files(self) except -1
    cpdef object watch_sending(self, double timeout)
    cpdef Py_ssize_t unsent(self) except -1
    cpdef object taken(self)
    cpdef object pause_reading(self)
    cpdef object resume_reading(self)
    cpdef object proceed_soon(self, Driver driver)
    cpdef object check_at(self, double when)
    cpdef object hand_over(self, Driver driver, bytes tail)
    cpdef object introduce(self, object client, object server)
    cpdef object await_rest(self, long long size)
    cpdef object close(self, bint linger=*)
    cpdef object abort(self)
    cpdef bint is_closing(self) except -1
