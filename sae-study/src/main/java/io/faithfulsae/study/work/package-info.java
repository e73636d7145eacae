/** Long-running work that reports its progress and can be stopped: sampling and training. */
@NullMarked
package io.faithfulsae.study.work;

import org.jspecify.annotations.NullMarked;
