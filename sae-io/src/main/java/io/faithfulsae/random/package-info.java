/** Random numbers: independent streams, one for each seed and purpose. */
@NullMarked
package io.faithfulsae.random;

import org.jspecify.annotations.NullMarked;
