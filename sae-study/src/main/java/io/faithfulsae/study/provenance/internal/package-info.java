/** How files that people write are read; not part of the API. */
@NullMarked
package io.faithfulsae.study.provenance.internal;

import org.jspecify.annotations.NullMarked;
