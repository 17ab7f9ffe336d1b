# Types of runtime.py.
from asgiws.bridge.reuse cimport Spare
from asgiws.bridge.tasks cimport Job, start
from asgiws.common.turn cimport Turn
from asgiws.websocket.fanout cimport FanOut
from asgiws.websocket.keepalive cimport Times


cdef class Runtime:
    cdef object _context
    cdef long long _limit
    cdef object _on_end
    cdef object _reached
    cdef Spare _spare
    cdef public object admission
    cdef public object app
    cdef readonly object budget
    cdef readonly object compression
    cdef readonly object config
    cdef public object connections
    cdef public bint cutting_off
    cdef readonly object drain
    cdef readonly FanOut fanout
    cdef readonly object http_reaper
    cdef public object leave
    cdef readonly object loop
    cdef readonly object notices
    cdef readonly object origins
    cdef readonly object own
    cdef readonly object pubsub
    cdef public bint ready
    cdef readonly long long served
    cdef public object state
    cdef public object tasks
    cdef readonly object topics
    cdef readonly object trusted
    cdef readonly Turn turn
    cdef readonly object ws_reaper
    cdef readonly Times ws_times

    cpdef object spawn(self, Job job, bint lasts)
    cpdef object call_soon(self, object callback)
