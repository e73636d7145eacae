/** Recipes for activations whose features are known, to see whether SAEs find them. */
@NullMarked
package io.faithfulsae.synthetic;

import org.jspecify.annotations.NullMarked;
