/*
 * The layout stamp of shared memory.  nginx passes a zone's memory to the next
 * configuration if name, size and owner are the same, regardless of its
 * content.  So a zone begins with the build ID of the module that created it.
 * The build ID changes with every change of a structure, the compiler or nginx'
 * headers, so a changed layout always has another stamp.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <elf.h>
#include <link.h>

#include "common/version.h"
#include "object/ngx_http_weir_object.h"


/* Both are 4 bytes long in 32-bit and 64-bit objects. */
#define ngx_http_weir_note_align(n)  (((n) + 3) & ~(size_t) 3)


static int ngx_http_weir_layout_object(struct dl_phdr_info *info, size_t size,
    void *data);
static uint64_t ngx_http_weir_layout_notes(u_char *p, u_char *last);


uint64_t
ngx_http_weir_layout(void)
{
    static uint64_t  layout;

    if (layout == 0) {
        (void) dl_iterate_phdr(ngx_http_weir_layout_object, &layout);
    }

    if (layout == 0) {
        /* linked without --build-id */
        layout = ngx_crc32_long((u_char *) WEIR_VERSION " " NGINX_VERSION,
                               sizeof(WEIR_VERSION " " NGINX_VERSION) - 1) + 1;
    }

    return layout;
}


ngx_int_t
ngx_http_weir_check_layout(ngx_shm_zone_t *shm_zone, uint64_t layout)
{
    if (layout == ngx_http_weir_layout()) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                  "the shared memory zone \"%V\" was made by another build of"
                  " Weir (layout %016xL, this one has %016xL); restart nginx,"
                  " or give the zone another name", &shm_zone->shm.name, layout,
                  ngx_http_weir_layout());

    return NGX_ERROR;
}


/*
 * Called for each loaded object until it returns 1 for the object that contains
 * this code.
 */

static int
ngx_http_weir_layout_object(struct dl_phdr_info *info, size_t size, void *data)
{
    uint64_t *layout = data;

    u_char            *p, *own;
    ngx_uint_t         i, found;
    const ElfW(Phdr)  *ph;

    own = (u_char *) ngx_http_weir_layout;
    found = 0;

    for (i = 0; i < info->dlpi_phnum; i++) {
        ph = &info->dlpi_phdr[i];
        p = (u_char *) info->dlpi_addr + ph->p_vaddr;

        if (ph->p_type == PT_LOAD && own >= p && own < p + ph->p_memsz) {
            found = 1;
        }
    }

    for (i = 0; found && *layout == 0 && i < info->dlpi_phnum; i++) {
        ph = &info->dlpi_phdr[i];

        if (ph->p_type == PT_NOTE) {
            p = (u_char *) info->dlpi_addr + ph->p_vaddr;
            *layout = ngx_http_weir_layout_notes(p, p + ph->p_memsz);
        }
    }

    return found;
}


/* The first eight bytes of the build ID in the notes, or 0. */

static uint64_t
ngx_http_weir_layout_notes(u_char *p, u_char *last)
{
    size_t       name, desc;
    u_char      *id;
    uint64_t     layout;
    ElfW(Nhdr)   note;

    while ((size_t) (last - p) > sizeof(note)) {
        ngx_memcpy(&note, p, sizeof(note));
        name = ngx_http_weir_note_align((size_t) note.n_namesz);
        desc = ngx_http_weir_note_align((size_t) note.n_descsz);
        id = p + sizeof(note) + name;

        if (name > (size_t) (last - p) - sizeof(note)
            || desc > (size_t) (last - id))
        {
            break;
        }

        if (note.n_type == NT_GNU_BUILD_ID && desc >= sizeof(layout)
            && note.n_namesz == sizeof("GNU")
            && ngx_memcmp(p + sizeof(note), "GNU", sizeof("GNU")) == 0)
        {
            ngx_memcpy(&layout, id, sizeof(layout));
            return layout;
        }

        p = id + desc;
    }

    return 0;
}
