/** Pages that show individual latents. */
@NullMarked
package io.faithfulsae.study.dashboard;

import org.jspecify.annotations.NullMarked;
