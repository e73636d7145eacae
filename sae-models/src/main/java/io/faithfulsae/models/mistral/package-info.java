/** The Mistral family. */
@NullMarked
package io.faithfulsae.models.mistral;

import org.jspecify.annotations.NullMarked;
