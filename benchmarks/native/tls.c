/* The client's end of TLS, by OpenSSL. See tls.h.
 *
 * Rules of this file:
 * - The certificate is not verified here: what that costs is the client's, and the checks of
 *   correctness have verified it before anything is measured.
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

enum { READ_AHEAD = 1 << 17 };

struct tls {
    SSL *ssl;
    SSL_SESSION *ticket;
};

static SSL_CTX *context;

static int take_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct tls *tls = SSL_get_app_data(ssl);
    if (tls->ticket)
        SSL_SESSION_free(tls->ticket);
    tls->ticket = session;
    return 1; /* the session is ours */
}

void tls_set_up(void)
{
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, take_ticket);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
}

struct tls *tls_open(int fd, void *session)
{
    struct tls *tls = calloc(1, sizeof *tls);
    tls->ssl = SSL_new(context);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_fd(tls->ssl, fd);
    SSL_set_connect_state(tls->ssl);
    SSL_set_tlsext_host_name(tls->ssl, "localhost");
    if (session)
        SSL_set_session(tls->ssl, session);
    return tls;
}

enum tls_progress tls_handshake(struct tls *tls)
{
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1)
        return TLS_DONE;
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ: return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANTS_WRITE;
    default: return TLS_FAILED;
    }
}

bool tls_resumed(const struct tls *tls)
{
    return SSL_session_reused(tls->ssl);
}

/* As a system call would have answered. */
static ssize_t answer(struct tls *tls, int result)
{
    if (result > 0)
        return result;
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: errno = errno ? errno : EPROTO; return -1;
    default: errno = EPROTO; return -1; /* among others an end without close_notify */
    }
}

ssize_t tls_send(struct tls *tls, const void *data, size_t size)
{
    ERR_clear_error();
    errno = 0;
    return answer(tls, SSL_write(tls->ssl, data, size < 1 << 30 ? (int)size : 1 << 30));
}

ssize_t tls_receive(struct tls *tls, void *data, size_t size)
{
    ERR_clear_error();
    errno = 0;
    return answer(tls, SSL_read(tls->ssl, data, (int)size));
}

void *tls_take_session(struct tls *tls)
{
    SSL_SESSION *session = tls->ticket;
    tls->ticket = NULL;
    return session;
}

void tls_free_session(void *session)
{
    SSL_SESSION_free(session);
}

void tls_end(struct tls *tls)
{
    ERR_clear_error();
    SSL_shutdown(tls->ssl);
}

void tls_free(struct tls *tls)
{
    if (tls->ticket)
        SSL_SESSION_free(tls->ticket);
    SSL_free(tls->ssl);
    free(tls);
}

const char *tls_error(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason ? reason : "the connection ended";
}
