/** Explanations of latents, from other programs. */
@NullMarked
package io.faithfulsae.models.explain;

import org.jspecify.annotations.NullMarked;
