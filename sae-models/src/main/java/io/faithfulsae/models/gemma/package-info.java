/** The Gemma family. */
@NullMarked
package io.faithfulsae.models.gemma;

import org.jspecify.annotations.NullMarked;
