// What the service answers, as far as the page reads it. docs/api.md describes it.

/**
 * @typedef {object} Classifier
 * @property {string} name
 * @property {string} method
 * @property {string} backbone
 * @property {string | null} weights
 * @property {number | null} image_size
 * @property {number | null} live number of the version that `live` names
 * @property {string} created_at
 */

/**
 * @typedef {object} VersionClass
 * @property {string} label
 * @property {number} index
 * @property {number} task
 * @property {number} train_images
 * @property {number} exemplars
 */

/** @typedef {"held_out" | "trained"} Use */

/**
 * @typedef {object} GoesBy
 * @property {number | null} accuracy
 * @property {number} images
 * @property {number | null} standard_error
 * @property {Use} used
 */

/** @typedef {VersionClass & {goes_by: GoesBy}} MeasuredClass */

/**
 * @typedef {object} Metrics
 * @property {GoesBy} goes_by
 * @property {number | null} forgetting
 * @property {string[]} [warnings]
 */

/**
 * @typedef {object} Version
 * @property {number} number
 * @property {number | null} parent
 * @property {string | null} job
 * @property {string} created_at
 * @property {string} method
 * @property {string} backbone
 * @property {number} class_count
 * @property {VersionClass[]} classes not in lists
 * @property {Metrics} metrics
 * @property {number} size_bytes
 * @property {string[]} aliases
 */

/** @typedef {"queued" | "running" | "cancelling" | "succeeded" | "failed" | "cancelled"} JobState */

/**
 * @typedef {object} Progress
 * @property {number} fraction
 * @property {number | null} epoch
 * @property {number | null} epochs
 * @property {number | null} loss
 * @property {number | null} images_per_second
 * @property {number | null} eta_seconds
 * @property {number | null} held_out_accuracy
 * @property {boolean | null} second_try
 */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {string | null} classifier
 * @property {string} kind
 * @property {JobState} state
 * @property {string | null} phase
 * @property {number} attempt
 * @property {Progress | null} progress
 * @property {number | null} queue_position
 * @property {{code: string, detail: string, retryable: boolean} | null} error
 * @property {number | null} version
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 */

/**
 * @typedef {object} JobEvent
 * @property {number} seq
 * @property {string} at
 * @property {string} type
 * @property {"info" | "warning" | "error"} level
 * @property {string} message
 * @property {Record<string, any>} data
 */

/**
 * @typedef {object} Upload
 * @property {string} id
 * @property {Record<string, number>} classes
 * @property {number} accepted
 * @property {number} duplicates
 * @property {{name: string, reason: string}[]} rejected
 * @property {number} rejected_count
 * @property {string[]} warnings
 */

/**
 * @typedef {object} Judgement
 * @property {number} position
 * @property {string} sha256
 * @property {string} label
 * @property {string} predicted
 * @property {number} score
 * @property {number} label_score
 * @property {Use} used
 */

/**
 * @template T
 * @typedef {{data: T[], has_more: boolean, next: string | null}} Page
 */

export {};
