/*
 * Checks that the module's file is still the one that is loaded.  The dynamic
 * linker reuses a loaded object with the same path, whatever the file contains
 * now.  So a reload after an upgrade of the package continues with the old
 * code, without a message by nginx.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>

#include "object/ngx_http_weir_object.h"


void
ngx_http_weir_check_build(ngx_log_t *log)
{
    Dl_info          object;
    ngx_file_info_t  now;

    static ngx_file_info_t  loaded;
    static ngx_uint_t       known;

    if (dladdr(&known, &object) == 0
        || object.dli_fname == NULL
        || ngx_strstr(object.dli_fname, ".so") == NULL
        || ngx_file_info(object.dli_fname, &now) == NGX_FILE_ERROR)
    {
        /* linked into nginx, or the file was deleted and not replaced */
        return;
    }

    if (!known) {
        known = 1;
        loaded = now;
        return;
    }

    if (now.st_ino == loaded.st_ino && now.st_dev == loaded.st_dev
        && ngx_file_size(&now) == ngx_file_size(&loaded)
        && ngx_file_mtime(&now) == ngx_file_mtime(&loaded))
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "the file \"%s\" was replaced, but nginx still runs the"
                  " module that was loaded from it before: restart nginx, or"
                  " upgrade its binary, to run the new one", object.dli_fname);
}
