/** The format of results and the record of their origin. */
@NullMarked
package io.faithfulsae.study.provenance;

import org.jspecify.annotations.NullMarked;
