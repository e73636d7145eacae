/** Sparse autoencoders on the activations of language models: the public API. */
@NullMarked
package io.faithfulsae;

import org.jspecify.annotations.NullMarked;
