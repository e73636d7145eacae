/** Tests. */
@NullMarked
package io.faithfulsae.compare;

import org.jspecify.annotations.NullMarked;
