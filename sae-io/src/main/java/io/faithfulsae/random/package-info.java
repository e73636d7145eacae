/** Random numbers: independent streams, one per seed and purpose. */
@NullMarked
package io.faithfulsae.random;

import org.jspecify.annotations.NullMarked;
