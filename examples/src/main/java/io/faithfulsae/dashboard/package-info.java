/** Pages that show single latents. */
@NullMarked
package io.faithfulsae.dashboard;

import org.jspecify.annotations.NullMarked;
