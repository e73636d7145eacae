/* backends.h: from the name of a library to its table. */
#ifndef SAE_BACKENDS_H
#define SAE_BACKENDS_H

#include "backend_table.h"

/* The built-in CPU backend. */
const sae_backend_table *sae_cpu_backend(void);

namespace sae {

/* "" or null: the CPU backend; otherwise the library at that path, opened once and never unloaded (a CUDA runtime
 * does not survive dlclose). SAE_UNAVAILABLE with the loader's text when it cannot be opened. */
const sae_backend_table &backend(const char *library);

} // namespace sae
#endif
