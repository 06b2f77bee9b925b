/* Version negotiation for other modules. */

#ifndef _NGX_HTTP_WEIR_VERSION_H_INCLUDED_
#define _NGX_HTTP_WEIR_VERSION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * The version negotiated for the request ("2"), negotiating it now if that has
 * not happened yet.  Returns NGX_OK, NGX_DECLINED when the location has no
 * weir_version or nothing acceptable was asked for (version is then empty), or
 * NGX_ERROR (no memory).  The bytes live as long as the configuration.
 */
ngx_int_t ngx_http_weir_version_get(ngx_http_request_t *r,
    ngx_str_t *version);

/*
 * The same for the media type that labels application/json responses, which is
 * also $weir_media_type.
 */
ngx_int_t ngx_http_weir_version_get_type(ngx_http_request_t *r,
    ngx_str_t *type);

/*
 * For a location that is merged: NGX_OK if it has a weir_version; field is then
 * the request header that may name the version, or empty if its weir_api has
 * none.  NGX_DECLINED if it has no weir_version.
 */
ngx_int_t ngx_http_weir_version_field(ngx_conf_t *cf, ngx_str_t *field);


#endif /* _NGX_HTTP_WEIR_VERSION_H_INCLUDED_ */
