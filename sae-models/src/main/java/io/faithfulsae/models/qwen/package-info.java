/** The Qwen family. */
@NullMarked
package io.faithfulsae.models.qwen;

import org.jspecify.annotations.NullMarked;
