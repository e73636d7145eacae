/** Synthetic activations with known features, to test whether SAEs find them. */
@NullMarked
package io.faithfulsae.synthetic;

import org.jspecify.annotations.NullMarked;
