/** Tests of synthetic activations through the public API. */
@NullMarked
package io.faithfulsae.synthetic;

import org.jspecify.annotations.NullMarked;
