/** How results are written down, and what they say of their origin. */
@NullMarked
package io.faithfulsae.study.provenance;

import org.jspecify.annotations.NullMarked;
