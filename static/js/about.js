// The version, and where to read more.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card} = await part('parts')

const REPOSITORY = 'https://github.com/lnbits/nostrclient'

export default {
  template: '#nostrclient-about',
  components: {NostrclientCard: Card},
  props: {version: String},
  computed: {
    links: () => [
      {name: 'readme', url: `${REPOSITORY}#readme`},
      {name: 'api', url: '/docs#/nostrclient'},
      {name: 'metrics', url: '/nostrclient/api/v1/metrics'},
      {name: 'health', url: '/nostrclient/api/v1/health'},
      {name: 'issues', url: `${REPOSITORY}/issues`}
    ]
  }
}
