/** Names for latents, by other programs. */
@NullMarked
package io.faithfulsae.models.explain;

import org.jspecify.annotations.NullMarked;
