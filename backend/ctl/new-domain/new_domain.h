/*
 * The files of a new domain's folder, from template/, which are compiled into weirctl
 * (scripts/build/embed-template.sh). @NAME@ in paths and texts is replaced by the domain's name.
 */
#ifndef WEIR_CTL_NEW_DOMAIN_H
#define WEIR_CTL_NEW_DOMAIN_H

#include "ctl/ctl.h"

typedef struct {
    const char *path; /* in the folder */
    const char *text;
} weir_ctl_file_t;

weir_ctl_exit_t weir_ctl_new_domain(weir_ctl_t *ctl);

extern const weir_ctl_file_t weir_ctl_template[]; /* ends with {0} */

#endif
