/** Pages that show single latents. */
@NullMarked
package io.faithfulsae.study.dashboard;

import org.jspecify.annotations.NullMarked;
