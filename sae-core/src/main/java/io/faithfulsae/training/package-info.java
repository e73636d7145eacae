/** Training of TopK SAEs on a stream of activations. */
@NullMarked
package io.faithfulsae.training;

import org.jspecify.annotations.NullMarked;
