/** Tests of random streams. */
@NullMarked
package io.faithfulsae.random;

import org.jspecify.annotations.NullMarked;
