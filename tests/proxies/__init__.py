"""asgiws behind the reverse proxies that people run: nginx and HAProxy, as Debian packages them."""
