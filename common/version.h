/* Weir's version, for all programs and the module; defined only here. */
#ifndef WEIR_COMMON_VERSION_H
#define WEIR_COMMON_VERSION_H

#define WEIR_VERSION "0.9.0"

#endif
