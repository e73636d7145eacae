/** For authors of backends: the operations an SAE needs from a device. */
@NullMarked
package io.faithfulsae.spi;

import org.jspecify.annotations.NullMarked;
