package imagecmd

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// namesTried is how many names are tried before one gets a number.
const namesTried = 20

// containerName is a name for a container that nobody has named, as Docker makes them: an
// adjective and the surname of somebody who has done something for science or computing. It
// is none of those that are taken.
func containerName(taken map[string]bool) string {
	adjectives, surnames := strings.Fields(adjectives), strings.Fields(surnames)
	pick := func() string {
		return adjectives[rand.IntN(len(adjectives))] + "_" + surnames[rand.IntN(len(surnames))]
	}
	name := pick()
	for range namesTried {
		if !taken[name] {
			return name
		}
		name = pick()
	}
	for n := 1; ; n++ {
		if numbered := name + strconv.Itoa(n); !taken[numbered] {
			return numbered
		}
	}
}

// The words have spaces between: what is a list would be made at every start.
const adjectives = `
	able admiring agile amber amused ancient apt artful attentive awake balanced beaming blissful bold brave breezy bright brisk calm candid
	careful charming cheerful clever compassionate confident considerate cool cosmic crisp curious daring dazzling deft determined diligent
	dreamy eager earnest easygoing ecstatic elated elegant eloquent epic exciting fair faithful fervent festive flamboyant focused fond frank
	friendly gallant generous gentle gifted glad gracious grateful happy hardy helpful hopeful humble inspiring intuitive jolly jovial joyful
	keen kind laughing lively lucid luminous magical merry mellow modest mystifying neat nifty nimble noble optimistic patient peaceful pensive
	playful plucky polite practical proud quick quiet quirky radiant relaxed reverent romantic serene sharp silly sincere sleepy smart steady
	stoic sunny sweet tender thoughtful trusting unruffled upbeat vibrant vigilant vigorous warm wise witty wonderful zealous zen`

const surnames = `
	abel agnesi allen almeida ampere anning archimedes aryabhata austin avogadro babbage backus banach banzai bardeen bartik bassi bayes beaver
	becquerel bell bernoulli bhaskara black blackburn blackwell bohr boltzmann boole borg bose boyd brahmagupta brattain brown buck burnell
	cannon cantor carson cauchy cerf chandrasekhar chatelet chatterjee chebyshev clarke cohen colden conway cori cray curie curran darwin davinci
	dewdney dhawan diffie dijkstra dirac driscoll dubinsky easley edison einstein elbakyan elgamal elion ellis engelbart erdos euclid euler
	faraday feistel fermat fermi feynman franklin gagarin galileo galois ganguly gates gauss germain goldberg goldstine goldwasser golick
	goodall gould greider grothendieck haibt hamilton hamming haslett hawking heisenberg hellman hermann herschel hertz heyrovsky hilbert
	hodgkin hofstadter hoover hopper hugle hypatia ishizaka jackson jang jemison jennings jepsen johnson joliot jones kalam kapitsa kare keldysh
	keller kepler khayyam khorana kilby kirch knuth kolmogorov kowalevski lalande lamarr lamport lagrange leakey leavitt lederberg lehmann
	lewin lichterman liskov lovelace lumiere mahavira margulis matsumoto maxwell mayer mccarthy mcclintock mclaren mclean mcnulty meitner
	mendel mendeleev meninsky merkle mestorf mirzakhani montalcini moore morse moser murdock napier nash neumann newton nightingale nobel
	noether northcutt noyce panini pare pascal pasteur payne perlman pike poincare poitras proskuriakova ptolemy raman ramanujan rhodes ride
	ritchie robinson roentgen rosalind rubin saha sammet sanderson satoshi shamir shannon shaw shirley shockley shtern sinoussi snyder solomon
	spence stallman stonebraker sutherland swanson swartz swirles taussig tesla tharp thompson torvalds tu turing varahamihira vaughan villani
	visvesvaraya volhard wescoff wilbur wiles williams williamson wilson wing wozniak wright wu yalow yonath zhukovsky`
