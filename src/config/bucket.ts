import type { SettingValues } from './settings.ts'

export interface BucketConfig {
  endpoint: string
  region: string
  bucket: string
  accessKey: string
  secretKey: string
}

/** @returns null when a setting of it is missing */
export function bucketConfig(values: SettingValues): BucketConfig | null {
  const { R2_ENDPOINT: endpoint, R2_BUCKET: bucket } = values
  const { R2_ACCESS_KEY: accessKey, R2_SECRET_KEY: secretKey } = values
  if (endpoint === null || bucket === null || accessKey === null || secretKey === null) return null
  return { endpoint: endpoint.origin, region: values.R2_REGION, bucket, accessKey, secretKey }
}
