#include "tls/peer.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static void show(char shown[WEIR_TLS_SHOWN], const ASN1_IA5STRING *name)
{
    const unsigned char *s = ASN1_STRING_get0_data(name);
    size_t len = (size_t)ASN1_STRING_length(name);

    if (len > WEIR_TLS_SHOWN - 1)
        len = WEIR_TLS_SHOWN - 1;
    for (size_t i = 0; i < len; i++)
        shown[i] = s[i] > ' ' && s[i] <= '~' ? (char)s[i] : '?';
    shown[len] = '\0';
}

/* The name's text, as a list compares it. */
static bool is_in(const weir_tls_names_t *names, int type, const ASN1_IA5STRING *name)
{
    const char *s = (const char *)ASN1_STRING_get0_data(name);
    size_t len = (size_t)ASN1_STRING_length(name);

    return type == GEN_URI ? weir_tls_names_have_uri(names, s, len)
                           : weir_tls_names_have_dns(names, s, len);
}

bool weir_tls_peer_is_allowed(const X509 *certificate, const weir_tls_names_t *names,
                              char shown[WEIR_TLS_SHOWN])
{
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int n = sk_GENERAL_NAME_num(all), uris = 0;
    bool allowed = false;

    snprintf(shown, WEIR_TLS_SHOWN, "no name");
    /* A certificate with several URIs is no SVID, X509-SVID section 2: none of them counts. */
    for (int i = 0; i < n; i++)
        uris += sk_GENERAL_NAME_value(all, i)->type == GEN_URI;
    for (int i = n - 1; i >= 0; i--) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

        if (name->type != GEN_URI && name->type != GEN_DNS)
            continue;
        show(shown, name->d.ia5);
        if ((name->type == GEN_DNS || uris == 1) && is_in(names, name->type, name->d.ia5))
            allowed = true;
    }
    GENERAL_NAMES_free(all);

    return allowed;
}
