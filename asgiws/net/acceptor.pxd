# Types of acceptor.py: an Acceptor is a class of Python's own, since there is one for each socket.
cimport cython
from asgiws.net.poller cimport Poller
from asgiws.net.transport cimport SocketTransport
