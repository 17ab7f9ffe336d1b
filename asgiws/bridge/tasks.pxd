# Types of tasks.py.
cimport cython
from asgiws.bridge cimport steps
from asgiws.bridge.wakeup cimport Waiter

cdef bint _CAN_STEP
cdef bint _IS_EAGER
cdef bint _RESCINDS
cdef int _FIRST
cdef int _BEGINS
cdef int _WAITS
cdef int _YIELDED
cdef int _RUNS
cdef int _ENDED
cdef int _IDLE


cdef class Job:
    cpdef object begin(self)
    cpdef object ended(self, object error)


cdef class _Idle


cdef class Runner:
    cdef object _context
    cdef object _coroutine
    cdef object _error
    cdef _Idle _idle
    cdef object _interruption
    cdef Job _job
    cdef object _loop
    cdef int _state
    cdef object _thrown
    cdef object _yielded
    cdef public object task

    cpdef object run(self, Job job, object context)
    cdef object run_first_step(self, Job job, object context)
    cdef object go_on(self, object context)
    cdef object _interrupt(self, object task)
    cpdef object release(self)
    cpdef bint has_ended(self) except -1
    cdef bint has_no_call(self) noexcept
    cdef bint begins(self) noexcept
    cdef object rest(self)
    cpdef object end(self)
    cdef bint is_waiting(self) noexcept
    cdef bint cancel_future(self, object message) except -1
    @cython.locals(idle=_Idle)
    cdef object _wake_task(self)
    @cython.locals(job=Job)
    cdef object step(self)
    cdef object _advance(self)
    @cython.locals(waiter=_Idle)
    cdef _Idle _wait(self)
    cdef object _take_error(self)


cdef class _Idle(Waiter):
    cdef Runner runner


@cython.locals(runner=Runner)
cpdef object start(object loop, Job job, object context)
cdef bint _can_step(object loop) except -1
@cython.locals(one=Runner)
cdef object _step(object runner)
cdef object _end(Job job, object error)
cdef object _current_task
cdef object _enter_task
cdef object _leave_task
cdef object _NAME
cdef object _Task
cdef object CoroutineType
