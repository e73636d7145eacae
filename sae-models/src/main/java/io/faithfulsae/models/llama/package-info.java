/** The Llama family. */
@NullMarked
package io.faithfulsae.models.llama;

import org.jspecify.annotations.NullMarked;
