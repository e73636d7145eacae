/** The GPT-2 family. */
@NullMarked
package io.faithfulsae.models.gpt2;

import org.jspecify.annotations.NullMarked;
